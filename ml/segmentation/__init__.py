"""Customer clusters by k-means; RFM segments are SQL, in `features.customer_rfm`."""

from ml.segmentation.clusters import (
    Clusters,
    TooLittleDataError,
    evaluate,
    fit,
    predict,
    profiles,
)

__all__ = ["Clusters", "TooLittleDataError", "evaluate", "fit", "predict", "profiles"]
