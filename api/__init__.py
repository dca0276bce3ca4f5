"""The web's side: HTTP in, one call to the prediction service, HTTP out."""
