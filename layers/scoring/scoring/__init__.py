"""The library that dropscore's Lambda functions share.

One module a concern, in the order a file meets them: `identity`, `request`, `images`, `clusters`, `pods`, `routes`,
`protocols`, `streaming`, `outcome`. Imports point one way: handlers import this package, it imports nothing of ours.
"""
