"""A transformer as a user would write it."""

from sklearn.base import BaseEstimator, TransformerMixin


class Shift(TransformerMixin, BaseEstimator):
    """Takes the smallest number away, in double precision."""

    def fit(self, X, y=None):
        self.offset_ = float(X.min())
        return self

    def transform(self, X):
        return X - self.offset_

    def inverse_transform(self, X):
        return X + self.offset_


class Fill(Shift):
    """Fills gaps as well."""

    def transform(self, X):
        return (X - self.offset_).fillna(1.0)
