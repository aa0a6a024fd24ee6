"""The simulated person and the simulated attacks: a three-dimensional head rendered to camera frames.

It drives the demonstration and the tests as holder and as attacker. It proves the logic of the liveness gate and gives
rates against angle; it proves no error rate on people.
"""
