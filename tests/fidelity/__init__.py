"""The published fidelity score: every ingress × provider × feature, whole and streamed, decided by execution."""
