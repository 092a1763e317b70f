"""The embedded AWS: MiniStack, started with the repairs that make it behave as AWS where it does not.

Everything in this package runs in MiniStack's own virtual environment (it pins botocore exactly), except `runtime.py`,
which runs in the Lambda runtime's.
"""
