from wlsc import analysis as analysis
from wlsc import companion as companion
from wlsc import datasets as datasets
from wlsc import dictionary as dictionary
from wlsc import experiments as experiments
from wlsc import inference as inference
from wlsc import models as models
from wlsc import observed as observed
from wlsc import plots as plots
from wlsc import problem as problem
from wlsc import simplex as simplex
from wlsc import training as training
from wlsc.analysis.gabor import fit_gabors as fit_gabors
from wlsc.datasets.digits import load_digits as load_digits
from wlsc.datasets.matrices import load_matrix as load_matrix
from wlsc.datasets.natural_images import load_patches as load_patches
from wlsc.estimator import WLSC as WLSC
from wlsc.inference.exact import infer_codes as infer_codes
from wlsc.problem import frank_wolfe_gap as frank_wolfe_gap
from wlsc.problem import kkt_residual as kkt_residual
from wlsc.problem import laplacian_quadratic_form as laplacian_quadratic_form
from wlsc.problem import objective as objective
from wlsc.problem import weighted_l1 as weighted_l1
from wlsc.simplex import project_simplex as project_simplex

__version__: str
__all__: list[str]
