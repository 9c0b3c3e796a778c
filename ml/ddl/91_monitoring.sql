-- What is watched of the models from run to run.

-- One row per run and column: how its values were spread, for later runs to be compared with.
create table if not exists ml.profiles (
    run_id text not null references ml.runs on delete cascade,
    kind text not null check (kind in ('input', 'score')),
    name text not null,                 -- the column, or table.column[series]
    n integer not null,                 -- rows
    bins jsonb not null,                -- borders or values, and the count of each bin
    primary key (run_id, kind, name)
);

-- One row per run and column: how far its values have moved since an earlier run.
create table if not exists ml.drift (
    run_id text not null references ml.runs on delete cascade,
    model_version text not null,
    as_of_date date not null,
    scored_at timestamptz not null,
    task text not null,
    reference_run_id text not null,
    kind text not null check (kind in ('input', 'score')),
    name text not null,
    psi double precision not null,      -- population stability index against the reference
    threshold double precision not null, -- what chance alone does not reach
    is_drifted boolean not null,
    n integer not null,
    reference_n integer not null,
    primary key (run_id, kind, name)
);

-- One row per run and measure: how good its scores were, once the days that they spoke of were over.
create table if not exists ml.model_performance (
    run_id text not null references ml.runs on delete cascade,
    model_version text not null,
    as_of_date date not null,
    scored_at timestamptz not null,
    task text not null,
    series text not null,
    horizon text not null,              -- days ahead
    metric text not null,
    value double precision,             -- null where undefined
    baseline_value double precision,    -- of the trivial baseline on the same outcomes
    backtest_value double precision,    -- what the run's own backtest had promised
    n integer not null,
    is_degraded boolean not null,       -- worse than the baseline beyond chance
    measured_to date not null,          -- last day of the outcomes
    primary key (run_id, task, series, horizon, metric)
);
