"""What lifetime value and churn share: purchase histories, and how people come to buy."""
