"""The triage service over HTTP."""
