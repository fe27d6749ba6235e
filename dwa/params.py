"""Every constant of the algorithm, in one frozen tree.

Each field says its unit, then what goes wrong when it is doubled and when it is halved. Most of that is reasoned or
follows from the formula. Varied in a simulator of language model hosts were only `temperature`, `drift`,
`run_limit_sd`, `explore_cap`, `hazard`, `tail_gain`, the early looks, the overdue limits and the pauses: but for the
temperature, each moved the result by less than a percent of the gap to an oracle.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Params:
    """The knobs. The defaults are for language models over HTTP: answers of seconds, one to a thousand per second."""

    # --- latency -----------------------------------------------------------------------------------------------
    first_token_s: float = 0.6
    """s. Prior time to first token. Doubled: strangers live on early looks; halved: they are overrated."""
    prefill_s: float = 5e-5
    """s per prompt token, prior. Doubled: long prompts flee strangers; halved: long prompts are sent to them first."""
    token_s: float = 1 / 60
    """s per output token, prior. Doubled or halved: as `first_token_s`, for long answers."""
    prior_sd: float = 0.7
    """log units. Doubled: the first straggler decides what a stranger is; halved: a wrong prior is unlearned late."""
    drift: float = 1.5e-5
    """log² per s, random walk. Doubled: noise mixes up near-equals; halved: slow drifts are followed late."""
    clip_sd: float = 3.0
    """s.d. at which a surprise is cut. Doubled: one straggler moves the estimate; halved: heavy tails are ignored."""
    run_slack_sd: float = 0.5
    """s.d. each surprise may have for free. Doubled: small steps go unseen; halved: noise raises alarms."""
    run_limit_sd: float = 6.5
    """s.d. in a run that mean the world has changed: three answers at the clip. Doubled: steps seen twice as late;
    halved: two stragglers in a row are taken for a new world."""
    run_inflate: float = 0.3
    """log² added to what is unknown when the world changed. Doubled: the first answer after it decides alone; halved:
    more answers until the new level is reached."""
    noise_gain: float = 0.03
    """Share of each squared surprise that enters the noise estimate. Doubled: nervous; halved: slow to calibrate."""
    tail_gain: float = 0.004
    """Share of each ratio observed/forecast that enters the mean factor. Doubled: one straggler costs a host 5 %;
    halved: a host that grows a heavy tail is found out after 500 answers."""
    tail_cap: float = 12.0
    """Ratio at which a straggler is cut in the mean. Doubled: one freak decides; halved: real tails look cheaper."""

    # --- reliability -------------------------------------------------------------------------------------------
    error_prior: float = 0.005
    """Failures per request expected of a stranger. Doubled: strangers cost more; halved: a first failure shocks."""
    error_gain: float = 1 / 60
    """Weight of one outcome in the slow mean. Doubled: one failure in a hundred flips near-equals; halved: what the
    fast mean misses is believed twice as late."""
    error_fast_gain: float = 1 / 8
    """Weight of one outcome in the fast mean. Doubled: noise; halved: a brown-out is believed eight requests later."""
    error_worse_sd: float = 4.0
    """s.d. by which the fast mean must be worse to be believed. Doubled: never; halved: each failure is a brown-out."""
    error_better_sd: float = 2.5
    """s.d. by which it must be better. Doubled: never, so that a brown-out is held against a host for eighty good
    answers; halved: five good answers excuse anything."""
    error_half_life_s: float = 300.0
    """s of silence after which half of the difference to the prior is forgotten. Doubled: grudges; halved: naive."""
    failover_fails: float = 0.1
    """Least probability that the failover fails too (shared causes), prior. Doubled: flees harmless failures until it
    has seen a few dozen failovers; halved: a failing but fast host is liked too well until then."""

    # --- load --------------------------------------------------------------------------------------------------
    knee: float = 64.0
    """Requests in flight that a host takes before it slows, prior. Doubled: late knees; halved: spreads too much."""
    knee_sd: float = 1.0
    """log units of doubt about it. Doubled: strangers are thought crowded by a few; halved: far ones are found late."""

    # --- overdue -----------------------------------------------------------------------------------------------
    review_s: float = 0.1
    """s between two looks at what is in flight. Doubled: hangs are seen 0.1 s later; halved: twice the work."""
    overdue_cap: float = 4.0
    """Most evidence one request may give, nats (one straggler in fifty). Doubled: two slow answers are a hang; halved:
    proof needs seven requests."""
    overdue_free: float = 3.0
    """Overdue evidence that is ordinary, nats. Doubled: leaves slow hosts later; halved: leaves good ones by chance."""
    overdue_scale: float = 8.0
    """Nats of overdue evidence that add 100 % to the expected latency. Doubled: slow to leave; halved: jumpy."""
    overdue_limit: float = 14.0
    """Nats of overdue evidence at which a host counts as hanging. Doubled: hangs are seen later; halved: one silence
    in a thousand opens it by luck."""

    # --- breaker -----------------------------------------------------------------------------------------------
    broken_fails: float = 0.9
    """Failure rate of a broken host. Doubled: impossible; halved: brown-outs open the breaker instead of costing."""
    breaker_limit: float = 8.0
    """Nats of evidence (broken : healthy) that open it: three failures in a row at 1 %. Doubled: five; halved: two,
    which happens by chance."""
    false_alarm_s: float = 3600.0
    """s between two false alarms, about. Doubled: dead hosts are left a fifth of a failure later; halved: hosts that
    fail one time in twenty are left twice an hour, at any rate of requests."""
    evidence: int = 24
    """Outcomes kept in dispatch order. Doubled: twice the work per failure; halved: order lost beyond 12 in flight."""
    panic: float = 0.75
    """Share of those not rate limited that must be healthy; below, and with two broken at least, those with an open
    breaker are judged like the others, by expected loss. Doubled: so in any double failure; halved: five failing hosts
    of six crowd the sixth."""
    dead_streak: int = 6
    """Failures in a row that a host of even odds shows once in 64 times: no pardon for it. Doubled: dead hosts are
    tried while most are broken; halved: a host that fails half of the time is taken for dead."""
    pause_min_s: float = 1.0
    """s, shortest open time. Doubled: comes back a second later; halved: probes burn twice as much."""
    pause_max_s: float = 6.0
    """s, longest open time. Doubled: comes back 6 s later; halved: hanging probes cost double."""
    pause_room: float = 10.0
    """Most of that pause to which failed probes may let it grow, 2 s at least. Doubled: hosts that refuse at once are
    back 2 s later; halved: probes of slow failures burn more."""
    pause_growth: float = 1.5
    """Growth of the open time with each failed probe. Doubled: at the ceiling at once; halved: shrinks, nonsense."""
    probe_share: float = 0.02
    """Share of all waiting time that failed probes may burn. Doubled: burns it; halved: comes back later."""
    probe_overdue: float = 2.3
    """Nats at which one request is a symptom and a probe counts as lost (1 in 10 is later). Doubled: hanging probes
    block for 10 s; halved: half of all good probes are given up."""
    probe_lease_s: float = 1.0
    """s a ranked probe may take to be dispatched before the slot is free again. Doubled or halved: no difference
    until callers rank without dispatching."""
    probe_dear: float = 0.5
    """Relative loss above the best at which a probe may wait. Doubled: losers are probed; halved: runners-up wait."""
    probe_dear_wait_s: float = 60.0
    """s such a probe waits. Doubled: a loser's recovery is known later; halved: its probes exceed 1 % of traffic."""
    follow_s: float = 3.0
    """s that replicas which were told of an open breaker wait longer than the one that opened it: two exchanges.
    Doubled: back 2 s later where that one has no traffic; halved: several probes at once."""
    ramp_start: float = 0.25
    """Share of traffic admitted after a good probe. Doubled: a weak host falls over; halved: 2 answers more."""
    ramp_growth: float = 1.5
    """Growth of that share per success. Doubled: two steps, a jump; halved: shrinks, nonsense."""

    # --- rate limits -------------------------------------------------------------------------------------------
    refusal_pause_s: float = 0.5
    """s of silence after a refusal without Retry-After. Doubled: idle quota; halved: more refusals."""
    refusal_pause_max_s: float = 30.0
    """s, its ceiling under doubling. Doubled: sleeps through the reset; halved: knocks twice as often."""
    refusal_decrease: float = 0.9
    """Factor on the admitted rate after a refusal. Doubled: no decrease; halved: half of the quota is left unused."""
    regrowth: float = 1e-4
    """1/s³, cubic growth back: at the old rate after 10 s, 80 % above after 30 s. Doubled: more refusals; halved: a
    raised limit is found a quarter later."""
    admitted_window_s: float = 5.0
    """s over which the admitted rate is measured. Doubled: bursts are averaged away; halved: noise."""
    quota_watch: float = 0.1
    """Share of the limit left at which every request is counted. Doubled: no harm but time; halved: overruns."""

    # --- share -------------------------------------------------------------------------------------------------
    temperature: float = 0.025
    """Share of the best loss within which deployments count as equal: the noise of two estimates of the same thing.
    Doubled: costs 1.7 % of the gap to the oracle; halved: of four true equals one gets 40 % for minutes, by luck."""

    # --- exploration -------------------------------------------------------------------------------------------
    explore_cap: float = 0.01
    """Looks per request, all shunned deployments together. Doubled: costs twice in a quiet world; halved: an
    improvement is found twice as late."""
    explore_burst: float = 3.0
    """Looks that may be saved up, and that a change of the world grants. Doubled: a volley; halved: no volley."""
    hazard: float = 1 / 300
    """1/s, how often a deployment changes. Doubled: looks 1.4 times as often; halved: 0.7 times."""
    early_looks: int = 4
    """Looks at a stranger before its numbers are believed. Doubled: a cold start costs twice; halved: luck decides."""
    early_limit: int = 12
    """Answers up to which a stranger whose luck may have been bad is looked at soon. Doubled: wasted on losers;
    halved: an unlucky good one waits for its turn."""
    early_every_s: float = 0.5
    """s between these at least; the last must be answered, too. Doubled: the good one is adopted later; halved: quick
    failures are repeated."""
    bonus_looks: int = 2
    """Looks that a pleasant surprise brings. Doubled: luck is chased; halved: an improvement is confirmed later."""
    surprise_sd: float = 1.5
    """s.d. below the forecast that please. Doubled: never; halved: every third look brings more looks."""

    # --- lengths and affinity ----------------------------------------------------------------------------------
    output_tokens: float = 200.0
    """Output tokens expected before anything is known. Doubled or halved: the first answers are misjudged."""
    length_gain: float = 0.02
    """Share of each answer's length in the mean. Doubled: one essay counts for 4 %; halved: routes learn slowly."""
    routes: int = 512
    """(route, prompt size) pairs remembered. Doubled: more memory; halved: rare routes are forgotten."""
    sessions: int = 4096
    """Sessions remembered. Doubled: more memory; halved: long sessions lose their warm host under traffic."""
    warm_s: float = 300.0
    """s a prompt cache stays warm. Doubled: pays for cold caches; halved: leaves warm ones."""
    warm_prefill: float = 0.1
    """Share of the prefill that a cached token still costs. Doubled or halved: hardly matters beside the price."""
