create table if not exists ml.price_elasticity (
    run_id text not null references ml.runs on delete cascade,
    model_version text not null,
    as_of_date date not null,
    scored_at timestamptz not null,
    level text not null check (level in ('shop', 'category', 'product')),
    member text not null,               -- all, the category, or the product's id
    category text,                      -- null for the shop
    buyer_group text not null check (buyer_group in ('identified', 'anonymous')),
    is_lead boolean not null,           -- the group with more orders: what is shown where one number is asked for
    status text not null check (status in ('identified', 'refused')),
    reason text not null,               -- why it was refused, else empty
    elasticity double precision,        -- percent of units for one percent of price; null where refused
    standard_error double precision,
    lo95 double precision,
    hi95 double precision,
    markdown_elasticity double precision, -- the same for a markdown; the shop's row, null where none was tried
    markdown_lo95 double precision,
    markdown_hi95 double precision,
    products integer not null,          -- with an identified elasticity; 1 for a product
    weeks integer,                      -- of a product: with a sale
    price_deviation double precision,   -- of a product: of its log price over those weeks
    weekly_units double precision,      -- of an ordinary week lately, in small quantities
    price_amount double precision,      -- today, without tax, store currency
    unit_cost_amount double precision,
    lowest_amount double precision,     -- prices that were tried
    highest_amount double precision,
    advice text check (advice in ('raise', 'lower', 'keep', 'none')),
    advice_reason text,
    advised_amount double precision,
    advised_lo95 double precision,      -- of the best price
    advised_hi95 double precision,
    weekly_gain_amount double precision, -- profit of a week at the advised price against today's
    weekly_gain_lo95 double precision,
    weekly_gain_hi95 double precision,
    primary key (run_id, buyer_group, level, member),
    check ((status = 'identified') = (elasticity is not null))
);
