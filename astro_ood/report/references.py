"""The publications that a run may rest on, each by a key.

What a run cites is decided by what it did (`astro_ood.report.methods`); here is only how each is written. Authors are in BibTeX's form,
``Family, Given and ...``; a name in braces is that of a collaboration.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Reference:
    """One publication.

    Attributes
    ----------
    authors, title : str
    year : str
        With a letter where the same authors have several.
    journal, volume, pages : str
        Empty where there is none; the publisher of a book.
    arxiv, doi, ads : str
        Identifiers: arXiv number, DOI, bibcode of the Astrophysics Data System.
    """

    authors: str
    year: str
    title: str
    journal: str = ""
    volume: str = ""
    pages: str = ""
    arxiv: str = ""
    doi: str = ""
    ads: str = ""

    @property
    def label(self) -> str:
        """As it stands in a sentence: ``Zhu et al. 2023``."""
        names = [_family(author) for author in self.authors.split(" and ")]
        who = names[0] if len(names) == 1 else " & ".join(names) if len(names) == 2 else f"{names[0]} et al."
        return f"{who} {self.year}".strip()

    @property
    def where(self) -> str:
        """Journal, volume and page, and identifier."""
        printed = ", ".join(part for part in (f"{self.journal} {self.volume}".strip(), self.pages) if part)
        named = f"arXiv:{self.arxiv}" if self.arxiv else f"doi:{self.doi}" if self.doi else ""
        return ", ".join(part for part in (printed, named) if part)

    @property
    def url(self) -> str:
        """Address of the publication; empty where it has none."""
        if self.doi:
            return f"https://doi.org/{self.doi}"
        return f"https://arxiv.org/abs/{self.arxiv}" if self.arxiv else ""

    @property
    def who(self) -> str:
        """Authors and year in a list of references."""
        authors = self.authors.replace("{", "").replace("}", "").split(" and ")
        shown = authors if len(authors) <= 6 else [*authors[:3], "others"]
        listed = "; ".join("et al." if author == "others" else author for author in shown)
        return f"{listed} ({self.year})" if self.year else listed

    @property
    def text(self) -> str:
        """One line of a list of references."""
        return f"{self.who}: {self.title}{f'. {self.where}' if self.where else ''}."

    def bibtex(self, key: str) -> str:
        """Entry of a BibTeX file."""
        kind = "article" if self.pages else "book" if self.journal else "misc"
        entries = {
            "author": self.authors,
            "title": f"{{{self.title}}}",
            "year": self.year.rstrip("abc"),
            "publisher" if kind == "book" else "journal": self.journal,
            "volume": self.volume,
            "pages": self.pages.replace("–", "--"),
            "doi": self.doi,
            "eprint": self.arxiv,
            "archivePrefix": "arXiv" if self.arxiv else "",
            "adsurl": f"https://ui.adsabs.harvard.edu/abs/{self.ads.replace('&', '%26')}" if self.ads else "",
        }
        printed = ("author", "title", "journal", "publisher")
        escaped = {name: re.sub("([&_#%])", r"\\\1", value) if name in printed else value for name, value in entries.items()}
        lines = [f"  {name} = {{{value}}}," for name, value in escaped.items() if value]
        return "\n".join([f"@{kind}{{{key},", *lines, "}"])


def _family(author: str) -> str:
    return author.strip("{}") if author.startswith("{") else author.split(",")[0]


_LU = "Lu, Cheng and Zhou, Yuhao and Bao, Fan and Chen, Jianfei and Li, Chongxuan and Zhu, Jun"

REFERENCES = {
    "astro_ood": Reference("{The astro_ood developers}", "", "astro_ood"),
    "zhu2023": Reference(
        "Zhu, Ye and Wu, Yu and Xu, Duo and Deng, Zhiwei and Yan, Yan and Russakovsky, Olga",
        "2023",
        "A Sampling-Based Domain Generalization Study with Diffusion Generative Models",
        arxiv="2310.09213",
    ),
    "song2020": Reference(
        "Song, Jiaming and Meng, Chenlin and Ermon, Stefano",
        "2020",
        "Denoising Diffusion Implicit Models",
        arxiv="2010.02502",
    ),
    "lu2022a": Reference(
        _LU,
        "2022a",
        "DPM-Solver: A Fast ODE Solver for Diffusion Probabilistic Model Sampling in Around 10 Steps",
        arxiv="2206.00927",
    ),
    "lu2022b": Reference(
        _LU, "2022b", "DPM-Solver++: Fast Solver for Guided Sampling of Diffusion Probabilistic Models", arxiv="2211.01095"
    ),
    "zhao2023": Reference(
        "Zhao, Wenliang and Bai, Lujia and Rao, Yongming and Zhou, Jie and Lu, Jiwen",
        "2023",
        "UniPC: A Unified Predictor-Corrector Framework for Fast Sampling of Diffusion Models",
        arxiv="2302.04867",
    ),
    "cox2002": Reference(
        "Cox, S. M. and Matthews, P. C.",
        "2002",
        "Exponential Time Differencing for Stiff Systems",
        "Journal of Computational Physics",
        "176",
        "430",
        doi="10.1006/jcph.2002.6995",
        ads="2002JCoPh.176..430C",
    ),
    "bartal2023": Reference(
        "Bar-Tal, Omer and Yariv, Lior and Lipman, Yaron and Dekel, Tali",
        "2023",
        "MultiDiffusion: Fusing Diffusion Paths for Controlled Image Generation",
        arxiv="2302.08113",
    ),
    "bodin2024": Reference(
        "Bodin, Erik and Stere, Alexandru and Margineantu, Dragos D. and Ek, Carl Henrik and Moss, Henry",
        "2024",
        "Linear combinations of latents in generative models: subspaces and beyond",
        arxiv="2408.08558",
    ),
    "westfall1993": Reference(
        "Westfall, Peter H. and Young, S. Stanley",
        "1993",
        "Resampling-Based Multiple Testing: Examples and Methods for p-Value Adjustment",
        "Wiley, New York",
    ),
    "holm1979": Reference(
        "Holm, Sture",
        "1979",
        "A Simple Sequentially Rejective Multiple Test Procedure",
        "Scandinavian Journal of Statistics",
        "6",
        "65–70",
    ),
    "phipson2010": Reference(
        "Phipson, Belinda and Smyth, Gordon K.",
        "2010",
        "Permutation P-values Should Never Be Zero",
        "Statistical Applications in Genetics and Molecular Biology",
        "9",
        "39",
        arxiv="1603.05766",
        doi="10.2202/1544-6115.1585",
    ),
    "padfield2012": Reference(
        "Padfield, Dirk",
        "2012",
        "Masked Object Registration in the Fourier Domain",
        "IEEE Transactions on Image Processing",
        "21",
        "2706–2718",
        doi="10.1109/TIP.2011.2181402",
    ),
    "scoccimarro2015": Reference(
        "Scoccimarro, Román",
        "2015",
        "Fast estimators for redshift-space clustering",
        "Physical Review D",
        "92",
        "083532",
        arxiv="1506.02729",
        doi="10.1103/PhysRevD.92.083532",
    ),
    "mecke1994": Reference(
        "Mecke, K. R. and Buchert, T. and Wagner, H.",
        "1994",
        "Robust morphological measures for large-scale structure in the Universe",
        "Astronomy & Astrophysics",
        "288",
        "697",
        arxiv="astro-ph/9312028",
        ads="1994A&A...288..697M",
    ),
    "cheng2020": Reference(
        "Cheng, Sihao and Ting, Yuan-Sen and Ménard, Brice and Bruna, Joan",
        "2020",
        "A new approach to observational cosmology using the scattering transform",
        "Monthly Notices of the Royal Astronomical Society",
        "499",
        "5902",
        arxiv="2006.08561",
    ),
    "conselice2003": Reference(
        "Conselice, Christopher J.",
        "2003",
        "The relationship between stellar light distributions of galaxies and their formation histories",
        "The Astrophysical Journal Supplement Series",
        "147",
        "1",
        arxiv="astro-ph/0303065",
    ),
    "lotz2004": Reference(
        "Lotz, Jennifer M. and Primack, Joel and Madau, Piero",
        "2004",
        "A new nonparametric approach to galaxy morphological classification",
        "The Astronomical Journal",
        "128",
        "163",
        arxiv="astro-ph/0311352",
    ),
    "bruna2018": Reference(
        "Bruna, Joan and Mallat, Stéphane",
        "2018",
        "Multiscale sparse microcanonical models",
        "Mathematical Statistics and Learning",
        "1",
        "257",
        arxiv="1801.02013",
    ),
    "allys2020": Reference(
        "Allys, E. and Marchand, T. and Cardoso, J.-F. and Villaescusa-Navarro, F. and Ho, S. and Mallat, S.",
        "2020",
        "New interpretable statistics for large-scale structure analysis and generation",
        "Physical Review D",
        "102",
        "103506",
        arxiv="2006.06298",
    ),
    "szekely2013": Reference(
        "Székely, Gábor J. and Rizzo, Maria L.",
        "2013",
        "Energy statistics: A class of statistics based on distances",
        "Journal of Statistical Planning and Inference",
        "143",
        "1249",
    ),
    "gretton2012": Reference(
        "Gretton, Arthur and Borgwardt, Karsten M. and Rasch, Malte J. and Schölkopf, Bernhard and Smola, Alexander",
        "2012",
        "A Kernel Two-Sample Test",
        "Journal of Machine Learning Research",
        "13",
        "723",
    ),
    "lopezpaz2017": Reference(
        "Lopez-Paz, David and Oquab, Maxime",
        "2017",
        "Revisiting Classifier Two-Sample Tests",
        arxiv="1610.06545",
    ),
    "naeem2020": Reference(
        "Naeem, Muhammad Ferjad and Oh, Seong Joon and Uh, Youngjung and Choi, Yunjey and Yoo, Jaejun",
        "2020",
        "Reliable Fidelity and Diversity Metrics for Generative Models",
        arxiv="2002.09797",
    ),
    "schreiber1996": Reference(
        "Schreiber, Thomas and Schmitz, Andreas",
        "1996",
        "Improved Surrogate Data for Nonlinearity Tests",
        "Physical Review Letters",
        "77",
        "635",
        doi="10.1103/PhysRevLett.77.635",
        ads="1996PhRvL..77..635S",
    ),
    "moisan2011": Reference(
        "Moisan, Lionel",
        "2011",
        "Periodic Plus Smooth Image Decomposition",
        "Journal of Mathematical Imaging and Vision",
        "39",
        "161–179",
        doi="10.1007/s10851-010-0227-1",
    ),
    "hi4pi2016": Reference(
        "{HI4PI Collaboration}",
        "2016",
        "HI4PI: A full-sky H I survey based on EBHIS and GASS",
        "Astronomy & Astrophysics",
        "594",
        "A116",
        arxiv="1610.06175",
        doi="10.1051/0004-6361/201629178",
        ads="2016A&A...594A.116H",
    ),
    "planck2014": Reference(
        "{Planck Collaboration}",
        "2014",
        "Planck 2013 results. XI. All-sky model of thermal dust emission",
        "Astronomy & Astrophysics",
        "571",
        "A11",
        arxiv="1312.1300",
        doi="10.1051/0004-6361/201323195",
        ads="2014A&A...571A..11P",
    ),
    "gorski2005": Reference(
        "Górski, K. M. and Hivon, E. and Banday, A. J. and Wandelt, B. D. and Hansen, F. K. and Reinecke, M. and Bartelmann, M.",
        "2005",
        "HEALPix: A Framework for High-Resolution Discretization and Fast Analysis of Data Distributed on the Sphere",
        "The Astrophysical Journal",
        "622",
        "759",
        arxiv="astro-ph/0409513",
        doi="10.1086/427976",
        ads="2005ApJ...622..759G",
    ),
    "calabretta2007": Reference(
        "Calabretta, M. R. and Roukema, B. F.",
        "2007",
        "Mapping on the HEALPix grid",
        "Monthly Notices of the Royal Astronomical Society",
        "381",
        "865",
        arxiv="astro-ph/0412607",
        doi="10.1111/j.1365-2966.2007.12297.x",
        ads="2007MNRAS.381..865C",
    ),
    "harris2020": Reference(
        "Harris, Charles R. and Millman, K. Jarrod and van der Walt, Stéfan J. and others",
        "2020",
        "Array programming with NumPy",
        "Nature",
        "585",
        "357",
        arxiv="2006.10256",
        doi="10.1038/s41586-020-2649-2",
        ads="2020Natur.585..357H",
    ),
    "paszke2019": Reference(
        "Paszke, Adam and Gross, Sam and Massa, Francisco and others",
        "2019",
        "PyTorch: An Imperative Style, High-Performance Deep Learning Library",
        arxiv="1912.01703",
    ),
}
