-- One row per SKU and stretch of time in which its price, cost, category, status and name stayed as they were.
--
-- Prices and costs change when the document's own history says so; name, category and status, which have
-- no history there, when the snapshot noticed. Before the first snapshot they are taken to have been what
-- it saw. The stretches of a SKU touch each other and the last one is open: a moment has one version.
{{ config(
    materialized='incremental',
    incremental_strategy='by_entity',
    unique_key=['product_version_key'],
    meta={
        'entity': 'product',
        'entity_column': 'product_id',
        'untracked': {
            'products_history': 'a version begins or ends with a change that int_product_skus shows as well',
        },
    },
) }}

with

skus as (

    select * from {{ ref('int_product_skus') }}
    where {{ is_touched('product_id') }}

),

prices as (

    select * from {{ ref('stg_shop__product_prices') }}
    where {{ is_touched('product_id') }}

),

costs as (

    select * from {{ ref('int_product_costs') }}
    where {{ is_touched('product_id') }}

),

snapshots as (

    select * from {{ ref('products_history') }}
    where {{ is_touched('product_id') }}

),

-- two entries of one moment: the later in the history stands
one_price_a_moment as (

    select
        product_id,
        price,
        changed_at,
        row_number() over (
            partition by product_id, changed_at
            order by seq desc nulls last
        ) as entry_rank
    from prices
    where
        changed_at is not null
        and price is not null

),

price_stretches as (

    select
        product_id,
        price,
        changed_at as valid_from,
        lead(changed_at) over (partition by product_id order by changed_at asc nulls last) as valid_until
    from one_price_a_moment
    where entry_rank = 1

),

versions as (

    select
        product_id,
        sku,
        title,
        status,
        category,
        price,
        compare_at_price,
        cost,
        currency,
        is_deleted,
        dbt_valid_from as valid_from,
        dbt_valid_to as left_at,
        lead(dbt_valid_from) over (partition by product_id, sku order by dbt_valid_from asc) as next_from,
        row_number() over (partition by product_id, sku order by dbt_valid_from asc) as version_rank
    from snapshots
    where sku is not null

),

-- a variant that left its document keeps what it had, from then on as deleted
left_versions as (

    select
        versions.*,
        next_from is null and left_at is not null as is_gone
    from versions

),

observed as (

    select
        product_id,
        sku,
        title,
        status,
        category,
        price,
        compare_at_price,
        cost,
        currency,
        is_deleted,
        valid_from,
        case when is_gone then left_at else next_from end as valid_until,
        version_rank
    from left_versions

    union all

    select
        product_id,
        sku,
        title,
        status,
        category,
        price,
        compare_at_price,
        cost,
        currency,
        true as is_deleted,
        left_at as valid_from,
        cast(null as {{ dbt.type_timestamp() }}) as valid_until,
        version_rank + 1 as version_rank
    from left_versions
    where is_gone

),

moments as (

    select
        skus.product_key,
        price_stretches.valid_from
    from skus
    inner join price_stretches
        on skus.product_id = price_stretches.product_id

    union

    select
        skus.product_key,
        costs.valid_from
    from skus
    inner join costs
        on skus.product_id = costs.product_id

    union

    select
        skus.product_key,
        observed.valid_from
    from skus
    inner join observed
        on
            skus.product_id = observed.product_id
            and skus.sku = observed.sku

    union

    select
        product_key,
        coalesce(least(created_at, launched_at), created_at, launched_at) as valid_from
    from skus

),

known_moments as (

    select
        product_key,
        valid_from
    from moments
    where valid_from is not null

    union

    -- a product that has no date at all has one version, from the beginning of time
    select
        product_key,
        cast('1970-01-01' as {{ dbt.type_timestamp() }}) as valid_from
    from moments
    group by product_key
    having max(valid_from) is null

),

described as (

    select
        known_moments.product_key,
        known_moments.valid_from,
        skus.sku,
        skus.product_id,
        skus.line_kind,
        coalesce(observed.title, skus.product_name, skus.sku) as product_name,
        coalesce(observed.category, skus.category_path) as category_path,
        coalesce(observed.status, skus.status) as status,
        coalesce(observed.currency, skus.currency) as currency,
        coalesce(price_stretches.price, seen.price) as price,
        seen.compare_at_price,
        coalesce(costs.unit_cost, seen.cost) as cost,
        case
            when costs.unit_cost is not null then 'price_history'
            when seen.cost is not null then 'variant'
            else 'unknown'
        end as cost_source,
        coalesce(observed.is_deleted, skus.is_deleted) as is_deleted
    from known_moments
    inner join skus
        on known_moments.product_key = skus.product_key
    -- name, category and status: the first that was seen reaches back
    left join observed
        on
            skus.product_id = observed.product_id
            and skus.sku = observed.sku
            and (known_moments.valid_from >= observed.valid_from or observed.version_rank = 1)
            and (known_moments.valid_from < observed.valid_until or observed.valid_until is null)
    -- the variant's own price and cost: only from when they were seen
    left join observed as seen
        on
            skus.product_id = seen.product_id
            and skus.sku = seen.sku
            and known_moments.valid_from >= seen.valid_from
            and (known_moments.valid_from < seen.valid_until or seen.valid_until is null)
    left join price_stretches
        on
            skus.product_id = price_stretches.product_id
            and known_moments.valid_from >= price_stretches.valid_from
            and (known_moments.valid_from < price_stretches.valid_until or price_stretches.valid_until is null)
    left join costs
        on
            skus.product_id = costs.product_id
            and known_moments.valid_from >= costs.valid_from
            and (known_moments.valid_from < costs.valid_until or costs.valid_until is null)

),

hashed as (

    select
        *,
        {{ surrogate_key([
            'product_name', 'category_path', 'status', 'currency', 'price', 'compare_at_price', 'cost',
            'cost_source', 'is_deleted'
        ]) }} as attributes_hash
    from described

),

compared as (

    select
        *,
        lag(attributes_hash) over (partition by product_key order by valid_from asc) as previous_hash
    from hashed

),

-- an entry that repeats what was there begins nothing
changed as (

    select
        *,
        lead(valid_from) over (partition by product_key order by valid_from asc) as valid_to,
        row_number() over (partition by product_key order by valid_from asc) as version_number
    from compared
    where attributes_hash is distinct from previous_hash

),

final as (

    select
        {{ surrogate_key(['product_key', 'valid_from']) }} as product_version_key,
        product_key,
        sku,
        product_id,
        product_name,
        coalesce(nullif(trim(split_part(category_path, '>', 1)), ''), 'Uncategorised') as category,
        category_path,
        line_kind,
        status,
        currency,
        cost_source,
        cast(version_number as {{ dbt.type_int() }}) as version_number,
        cast(price as {{ type_money() }}) as price,
        cast(compare_at_price as {{ type_money() }}) as compare_at_price,
        cast(cost as {{ type_money() }}) as cost,
        is_deleted,
        valid_to is null as is_current,
        valid_from,
        valid_to
    from changed

)

select * from final
