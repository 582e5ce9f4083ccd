"""What every other part stands on: errors, digests, the store, strict input, progress, units."""
