-- Tables that the models write and dbt reads as source `ml`. Rows belong to a run; a run with the same
-- id replaces itself, all others stay. Idempotent.
create schema if not exists ml;

-- One row per run of a task on one state of the data.
create table if not exists ml.runs (
    run_id text primary key,
    task text not null,                 -- forecast, segments, churn
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

create table if not exists ml.forecasts (
    run_id text not null references ml.runs on delete cascade,
    model_version text not null,
    as_of_date date not null,
    scored_at timestamptz not null,
    series text not null,               -- revenue, product_sales, orders, profit
    dimension text not null,            -- total
    member text not null,               -- all
    model text not null,
    is_champion boolean not null,
    grain text not null check (grain in ('day', 'year')),
    target_date date not null,          -- first day of the period
    horizon_days integer not null,      -- its last day, counted from the as-of date
    is_closed boolean not null,
    yhat double precision not null,     -- store currency, or orders
    lo80 double precision,
    hi80 double precision,
    lo95 double precision,
    hi95 double precision,
    primary key (run_id, series, dimension, member, model, grain, target_date)
);

create table if not exists ml.customer_segments (
    run_id text not null references ml.runs on delete cascade,
    model_version text not null,
    as_of_date date not null,
    scored_at timestamptz not null,
    customer_key text not null,
    cluster integer not null,           -- 1 spends most
    cluster_name text not null,
    distance double precision not null, -- to the cluster's centre, in standard deviations
    primary key (run_id, customer_key)
);

create table if not exists ml.churn_scores (
    run_id text not null references ml.runs on delete cascade,
    model_version text not null,
    as_of_date date not null,
    scored_at timestamptz not null,
    customer_key text not null,
    horizon_days integer not null,
    churn_probability double precision not null check (churn_probability between 0 and 1),
    tier text not null check (tier in ('low', 'medium', 'high')),
    reason_1 text,
    reason_2 text,
    reason_3 text,
    reason_1_log_odds double precision, -- above 0 speaks for leaving
    reason_2_log_odds double precision,
    reason_3_log_odds double precision,
    primary key (run_id, customer_key)
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
