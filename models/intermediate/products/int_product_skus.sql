-- One row per SKU on sale now or before, with the product it belongs to.
--
-- Two variants with one SKU: the product that is not deleted, then active, then oldest is its owner.
-- A product without variants is its own SKU. A variant that left its document stays, with the price and
-- cost that it had, as the snapshot saw them last: what was sold of it still has a product.
{{ config(
    materialized='incremental',
    incremental_strategy='by_entity',
    unique_key=['product_key'],
    meta={
        'touches': {'sku': ['sku', 'product_key'], 'product': ['product_id', 'product_key']},
        'untracked': {
            'products_history': 'a version begins or ends with a change of stg_shop__products or its variants, which are read too',
        },
    },
    indexes=[{'columns': ['sku']}, {'columns': ['product_id']}],
) }}

with

products as (

    select * from {{ ref('stg_shop__products') }}

),

variants as (

    select * from {{ ref('stg_shop__product_variants') }}

),

categories as (

    select * from {{ ref('stg_shop__product_categories') }}

),

kinds as (

    select * from {{ ref('int_skus_classified') }}

),

prices as (

    select * from {{ ref('stg_shop__product_prices') }}

),

snapshots as (

    select * from {{ ref('products_history') }}

),

last_seen as (

    select
        product_id,
        sku,
        price,
        compare_at_price,
        cost,
        currency,
        row_number() over (
            partition by product_id, sku
            order by dbt_valid_from desc nulls last
        ) as version_rank
    from snapshots
    where sku is not null

),

removed_variants as (

    select last_seen.*
    from last_seen
    left join variants
        on
            last_seen.product_id = variants.product_id
            and last_seen.sku = variants.sku
    where
        last_seen.version_rank = 1
        and variants.product_id is null

),

primary_categories as (

    select
        product_id,
        category_path,
        category_l1,
        category_l2,
        category_l3,
        row_number() over (
            partition by product_id
            order by case when is_primary then 0 else 1 end asc, position asc
        ) as category_rank
    from categories

),

-- cost and price in force at the end of the history, for variants that do not carry their own
latest_prices as (

    select
        product_id,
        price,
        cost,
        row_number() over (
            partition by product_id
            order by changed_at desc nulls last, seq desc nulls last
        ) as price_rank
    from prices

),

sold as (

    select
        coalesce(variants.sku, products.sku) as sku,
        products.product_id,
        products.title,
        products.brand,
        products.status,
        products.supplier_id,
        products.lead_time_days,
        products.minimum_order_quantity,
        products.launched_at,
        products.created_at,
        products.is_deleted,
        variants.price,
        variants.compare_at_price,
        variants.cost,
        variants.currency,
        variants.weight_g,
        variants.color,
        variants.size,
        variants.barcode
    from products
    left join variants
        on products.product_id = variants.product_id

    union all

    select
        removed_variants.sku,
        products.product_id,
        products.title,
        products.brand,
        products.status,
        products.supplier_id,
        products.lead_time_days,
        products.minimum_order_quantity,
        products.launched_at,
        products.created_at,
        true as is_deleted,
        removed_variants.price,
        removed_variants.compare_at_price,
        removed_variants.cost,
        removed_variants.currency,
        cast(null as numeric) as weight_g,
        cast(null as {{ dbt.type_string() }}) as color,
        cast(null as {{ dbt.type_string() }}) as size,
        cast(null as {{ dbt.type_string() }}) as barcode
    from removed_variants
    inner join products
        on removed_variants.product_id = products.product_id

),

ranked as (

    select
        *,
        row_number() over (
            partition by sku
            order by
                case when is_deleted then 1 else 0 end asc,
                case when status = 'active' then 0 else 1 end asc,
                created_at asc nulls last,
                product_id asc
        ) as owner_rank
    from sold
    where sku is not null

),

final as (

    select
        {{ surrogate_key(['ranked.sku']) }} as product_key,
        ranked.sku,
        ranked.product_id,
        ranked.title as product_name,
        ranked.brand,
        primary_categories.category_path,
        primary_categories.category_l1,
        primary_categories.category_l2,
        primary_categories.category_l3,
        ranked.status,
        ranked.supplier_id,
        ranked.color,
        ranked.size,
        ranked.barcode,
        coalesce(kinds.line_kind, 'merchandise') as line_kind,
        ranked.lead_time_days,
        ranked.minimum_order_quantity,
        ranked.weight_g,
        coalesce(ranked.price, latest_prices.price) as price,
        ranked.compare_at_price,
        coalesce(ranked.cost, latest_prices.cost) as cost,
        case
            when ranked.cost is not null then 'variant'
            when latest_prices.cost is not null then 'price_history'
            else 'unknown'
        end as cost_source,
        ranked.currency,
        ranked.is_deleted,
        ranked.launched_at,
        ranked.created_at
    from ranked
    left join primary_categories
        on
            ranked.product_id = primary_categories.product_id
            and primary_categories.category_rank = 1
    left join latest_prices
        on
            ranked.product_id = latest_prices.product_id
            and latest_prices.price_rank = 1
    left join kinds
        on ranked.sku = kinds.sku
    where ranked.owner_rank = 1

)

select * from final
