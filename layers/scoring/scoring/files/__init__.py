"""Bytes, records and columns: what is read of a dropped file and what is written of the scored one."""
