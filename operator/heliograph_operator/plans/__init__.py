"""What is to be done, by pure functions: the picture in, the plan out. No clock, no network."""
