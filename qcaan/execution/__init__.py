"""Running native circuits on devices, safely: HOW it is run."""
