"""The pod of a file: the API that it is launched by, its manifest, its route, its readiness and what ails it."""
