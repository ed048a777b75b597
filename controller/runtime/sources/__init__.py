"""Where trees come from: registries, archives, other runtimes, templates; what a Runtime's spec means as a source.

Recipes and declared builds, which execute something, are in `build`.
"""
