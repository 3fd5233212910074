"""Transfers the bytes of one file from a source into its partial, over one or several connections.

Retry policy, concurrency limit, rate limit and circuit breaker each have a module of that name.
"""
