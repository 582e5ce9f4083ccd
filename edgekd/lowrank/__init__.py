"""Low-rank factorization: which layers pay, at what rank, and with which weights."""
