"""Price elasticity of products and categories, and the price that earns most, with intervals."""

from ml.elasticity.elasticity import (
    ElasticityModel,
    TooLittleDataError,
    evaluate,
    fit,
    predict,
)

__all__ = ["ElasticityModel", "TooLittleDataError", "evaluate", "fit", "predict"]
