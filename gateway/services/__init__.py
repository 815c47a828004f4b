"""Thin gRPC servicers and interceptors: translate, call, translate back."""
