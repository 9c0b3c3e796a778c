create table if not exists ml.recommendations (
    run_id text not null references ml.runs on delete cascade,
    model_version text not null,
    as_of_date date not null,
    scored_at timestamptz not null,
    customer_key text not null,         -- -1 for everybody of whom nothing is known
    purpose text not null check (purpose in ('next_basket', 'new_items', 'newcomer')),
    rank integer not null,              -- 1 is the best
    product_key text not null,
    score double precision not null,    -- orders one customer's products of one purpose, nothing else
    model text not null,
    reason text not null,
    reason_product_key text,            -- what the customer bought that speaks for it most
    primary key (run_id, customer_key, purpose, rank)
);

create table if not exists ml.product_pairs (
    run_id text not null references ml.runs on delete cascade,
    model_version text not null,
    as_of_date date not null,
    scored_at timestamptz not null,
    product_key text not null,
    other_product_key text not null,
    rank integer not null,              -- among the partners of the one, by weight
    orders_with_both integer not null,
    support double precision not null,  -- share of all orders
    confidence double precision not null, -- share of the orders with the one
    lift double precision,              -- null where too few orders hold both to know it
    weight double precision not null,   -- of the model that completes baskets best
    model text not null,
    primary key (run_id, product_key, other_product_key)
);
