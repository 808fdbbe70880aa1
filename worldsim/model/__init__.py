"""The networks: codec, text encoder, transformer, heads, referee, player, and the folder that holds their weights."""
