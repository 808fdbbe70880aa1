"""The captioner: a trained network that looks at clips and says what the grammar could say of them."""
