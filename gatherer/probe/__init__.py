"""The probe: what is seen inside a container before anything is brought there.

`run_command` runs a command, `program` is what runs, `output` reads what that prints, `facts`
holds it (pure).

Not here: what follows from the facts (`inject.plan`, `preflight`).
"""
