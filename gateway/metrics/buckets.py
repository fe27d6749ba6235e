"""Where histograms draw their lines, and the labels that many metrics share."""

from __future__ import annotations

#: Of a deployment.
DEPLOYMENT = ("provider", "model")
#: Seconds. From a cache hit to a long answer; doubling, so that a percentile is at most a factor of two off.
SECONDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
#: Seconds. From a step that asks nobody to an execution that waits for a person over the weekend.
LONG = (0.005, 0.025, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3_600, 21_600, 86_400, 259_200)
#: Seconds. The gateway's own part: its budget is well under a millisecond.
OVERHEAD = (0.00025, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5)
#: As the semantic conventions for generative AI advise. Seconds of calls, seconds of workflows, and tokens.
GENAI_SECONDS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
GENAI_WORKFLOW_SECONDS = (1, 5, 10, 30, 60, 120, 300, 600, 1_800, 3_600, 7_200)
GENAI_TOKENS = tuple(4**power for power in range(14))
