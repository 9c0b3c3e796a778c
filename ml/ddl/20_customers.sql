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
