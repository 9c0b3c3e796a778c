-- Tables that the models write and dbt reads as source `ml`. Rows belong to a run; a run with the same
-- id replaces itself, all others stay. Idempotent.
create schema if not exists ml;

-- One row per run of a task on one state of the data.
create table if not exists ml.runs (
    run_id text primary key,
    task text not null,                 -- its name in ml.jobs
    model_version text not null,        -- of the task's method, raised by hand
    code_version text not null,         -- hash of the package's source
    as_of_date date,                    -- last day of the data that was learned from; null without data
    status text not null check (status in ('ok', 'too_little_data')),
    note text not null,                 -- why something is missing or simpler, empty if nothing is
    champion text,                      -- model that scored
    baseline text,                      -- model that it had to beat
    parameters jsonb not null,
    data_fingerprint text not null,     -- hash of the features that were read
    trained_from date,
    trained_to date,
    row_count integer not null,
    scored_at timestamptz not null,     -- when the scores were computed
    confirmed_at timestamptz not null   -- when they were last found to fit the data: the newest is current
);

create table if not exists ml.model_metrics (
    run_id text not null references ml.runs on delete cascade,
    model_version text not null,
    as_of_date date not null,
    scored_at timestamptz not null,
    task text not null,
    series text not null,               -- forecast series, or the task's one question
    model text not null,
    horizon text not null,              -- days ahead, or the number of clusters
    metric text not null,
    value double precision,             -- null where undefined
    n integer not null,                 -- what it was measured on
    is_champion boolean not null,
    is_baseline boolean not null,
    primary key (run_id, task, series, model, horizon, metric)
);
