"""Whether a destination may be used: asked before anything is fetched into it."""
