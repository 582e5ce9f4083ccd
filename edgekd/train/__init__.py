"""The one SGD loop that every stage uses, and what it is made of."""
