"""The calls of `import astro_ood`: they join maps, networks, latents, statistics and stores, which do not know each other."""
