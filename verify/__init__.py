"""What judges a run: `checker` reads what a run has left in the database and in the jobs' traces,
`fault_proxy` is a network that misbehaves on demand. Tests and measurements import them; they are
no part of the product, and no wheel has them."""
