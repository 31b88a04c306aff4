"""The recommenders, by name. A new one is a file here and a line in ``MODELS``; the contract tests pick it up."""

from dconrec_core.models.base import Recommender
from dconrec_core.models.bprmf import BPRMF, BPRMFConfig
from dconrec_core.models.ease import EASE, EASEConfig
from dconrec_core.models.graph_filter import GraphFilter, GraphFilterConfig
from dconrec_core.models.lightgcn import LightGCN, LightGCNConfig
from dconrec_core.models.multvae import MultVAE, MultVAEConfig
from dconrec_core.models.ngcf import NGCF, NGCFConfig
from dconrec_core.models.ridge import Ridge, RidgeConfig
from dconrec_core.models.xsimgcl import XSimGCL, XSimGCLConfig
from dconrec_core.registry import Entry

MODELS: dict[str, Entry[Recommender]] = {
    "bprmf": Entry(BPRMFConfig, BPRMF),
    "lightgcn": Entry(LightGCNConfig, LightGCN),
    "ngcf": Entry(NGCFConfig, NGCF),
    "xsimgcl": Entry(XSimGCLConfig, XSimGCL),
    "ease": Entry(EASEConfig, EASE),
    "ridge": Entry(RidgeConfig, Ridge),
    "graph-filter": Entry(GraphFilterConfig, GraphFilter),
    "multvae": Entry(MultVAEConfig, MultVAE),
}

__all__ = ["MODELS", "Recommender"]
