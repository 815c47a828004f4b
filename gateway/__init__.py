"""The federation gateway: answers and asks questions about recipients of social-insurance benefits."""
