"""What several tests share: fixtures, models, strategies, servers."""
