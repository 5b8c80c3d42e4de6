"""The kinds of events (docs/events.md has their payloads)."""

KINDS = (
    *("JobCreated", "JobAssigned", "JobUnassigned", "JobStatusChanged", "JobCancelRequested"),
    *("JobRetried", "JobRequeued", "JobLateResult"),
    *("WorkerRegistered", "WorkerStatusChanged", "WorkerCredentialRenewed", "WorkerRevoked"),
    *("TokenCreated", "TokenConsumed", "TokenRevoked"),
    *("KeyCreated", "KeyRevoked", "ProjectGranted", "LoginFailed", "DatabaseRestored"),
    *("SecretSet", "SecretRemoved", "SecretsRotated"),
    *("ProviderAdded", "ProviderPaused", "ProviderResumed", "ProviderEngineAdopted"),
    "ProviderRemoved",
)
