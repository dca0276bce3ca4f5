"""Ground floor: the words of the service. Imports the standard library only."""
