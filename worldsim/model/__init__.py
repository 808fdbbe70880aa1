"""The networks: codec, text encoder, transformer, heads, and the folder that holds their weights."""
