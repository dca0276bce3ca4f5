"""Webhooks by Standard Webhooks (standardwebhooks.com): how the end of a job is told to a URL."""
