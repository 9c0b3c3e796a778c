create table if not exists ml.lifetime_values (
    run_id text not null references ml.runs on delete cascade,
    model_version text not null,
    as_of_date date not null,
    scored_at timestamptz not null,
    customer_key text not null,
    horizon_days integer not null,
    predicted_amount double precision not null check (predicted_amount >= 0), -- store currency, net of returns
    lo80 double precision,                  -- null without a past cut-off to learn the interval from
    hi80 double precision,
    expected_orders double precision,       -- purchase days by BG/NBD; null where it can't be fitted
    expected_order_amount double precision, -- by Gamma-Gamma, net of returns
    primary key (run_id, customer_key)
);
