"""`python -m astro_ood` is `astro-ood`."""

from astro_ood.cli import main

main()
