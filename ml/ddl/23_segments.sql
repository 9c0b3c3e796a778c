create table if not exists ml.cluster_profiles (
    run_id text not null references ml.runs on delete cascade,
    model_version text not null,
    as_of_date date not null,
    scored_at timestamptz not null,
    cluster integer not null,           -- stays the same from run to run while its centre does
    cluster_name text not null,
    profile text not null,              -- a sentence
    customers integer not null,
    customer_share double precision not null,
    monetary_share double precision not null,
    median_recency_days double precision,
    median_order_days double precision,
    median_monetary_amount double precision,
    centre_recency_days double precision not null, -- mean of log(1 + x)
    centre_order_days double precision not null,
    centre_monetary_amount double precision not null,
    shift double precision,             -- of the centre since the run before, standard deviations
    is_new boolean not null,            -- matched with no cluster of the run before
    primary key (run_id, cluster)
);
