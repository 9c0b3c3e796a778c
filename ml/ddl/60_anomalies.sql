-- What was out of the ordinary.

create table if not exists ml.anomalies (
    run_id text not null references ml.runs on delete cascade,
    model_version text not null,
    as_of_date date not null,
    scored_at timestamptz not null,
    date date not null,
    dimension text not null,            -- total, country, category, payment_method
    member text not null,               -- all, or the dimension's member
    metric text not null,               -- that was most off
    direction text not null check (direction in ('high', 'low')),
    score double precision not null,    -- robust standard deviations; below 0 is too little
    threshold double precision not null, -- what the alarm budget exceeds, without a sign
    expected double precision not null, -- of the metric, by level and weekday
    actual double precision not null,
    method text not null,
    primary key (run_id, date, dimension, member, metric)
);

create table if not exists ml.order_outliers (
    run_id text not null references ml.runs on delete cascade,
    model_version text not null,
    as_of_date date not null,
    scored_at timestamptz not null,
    order_id text not null,
    customer_key text,                  -- null for anonymous buyers
    order_date date not null,
    demand_amount double precision not null, -- store currency
    usual_amount double precision,      -- median of the customer's earlier orders; null for the first
    score double precision not null,
    reason text not null,
    method text not null,
    primary key (run_id, order_id)
);
