"""What a user says about the sentiment step; its settings lie on the floor of data, as models hold them, too."""

from jaxrec.data.sentiment_config import SentimentConfig

__all__ = ["SentimentConfig"]
