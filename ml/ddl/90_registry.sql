-- Which runs are registered as versions, and which one a person has made current.

-- One row per run with scores that the model registry knows.
create table if not exists ml.model_versions (
    -- deferred: a run that is written again is deleted and inserted in one transaction
    run_id text primary key references ml.runs on delete no action deferrable initially deferred,
    task text not null,
    version integer not null,           -- of the registered model, which is named after the task
    mlflow_run_id text not null,
    is_champion boolean not null,       -- has the alias: its scores are current
    registered_at timestamptz not null,
    unique (task, version)
);

-- One row per task whose current scores a person has chosen; without one the newest run counts.
create table if not exists ml.pins (
    task text primary key,
    run_id text not null references ml.runs on delete no action deferrable initially deferred,
    action text not null check (action in ('promote', 'rollback')),
    pinned_at timestamptz not null
);
