"""Fields of known statistics."""

import numpy as np
import scipy.fft


def gaussian_fields(n, rng, size=64, slope=2.0, periodic=False, scatter=0.3):
    """Gaussian fields with P ~ k^-slope (n, size, size), unit variance over the set, cut from a larger box unless periodic.

    `scatter` is the sd between maps of the ln of the amplitude.
    """
    box = size if periodic else 2 * size
    k = np.hypot(scipy.fft.fftfreq(box)[:, None], scipy.fft.rfftfreq(box)[None])
    k[0, 0] = np.inf
    noise = rng.normal(size=(n, box, box))
    x = scipy.fft.irfft2(scipy.fft.rfft2(noise) * k ** (-slope / 2), s=(box, box))[:, :size, :size]
    return x / x.std() * np.exp(scatter * rng.normal(size=(n, 1, 1)))
