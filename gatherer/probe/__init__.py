"""The probe: what is seen inside a container before anything is brought there.

`program` is what runs in it, `output` reads what that prints, `facts` holds it (pure).

Not here: what follows from the facts (`inject.plan`, `preflight`).
"""
