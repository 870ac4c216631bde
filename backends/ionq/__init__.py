"""IonQ's own cloud, through its REST API v0.4: Aria- and Forte-class computers, and its noisy simulator."""
