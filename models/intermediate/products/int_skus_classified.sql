-- One row per SKU that any order line or variant names, with what kind of thing it is.
--
-- The patterns of `line_kinds` are matched exact before prefix, longer before shorter; a SKU that no
-- pattern matches is merchandise.
{{ config(
    materialized='incremental',
    incremental_strategy='by_entity',
    unique_key=['sku'],
    meta={
        'touches': {'sku': 'sku'},
    },
) }}

with

line_kinds as (

    select * from {{ ref('line_kinds') }}

),

sold as (

    {{ distinct_rows(ref('stg_shop__order_items'), 'sku') }}

),

skus as (

    select sku
    from sold

    union

    select sku
    from {{ ref('stg_shop__product_variants') }}
    where sku is not null

),

matched as (

    select
        skus.sku,
        line_kinds.line_kind,
        row_number() over (
            partition by skus.sku
            order by
                case when line_kinds.match_type = 'exact' then 0 else 1 end asc,
                length(line_kinds.sku_pattern) desc nulls last,
                line_kinds.sku_pattern asc
        ) as match_rank
    from skus
    inner join line_kinds
        on
            skus.sku = line_kinds.sku_pattern
            or (
                line_kinds.match_type = 'prefix'
                and substring(skus.sku, 1, length(line_kinds.sku_pattern)) = line_kinds.sku_pattern
            )

),

final as (

    select
        skus.sku,
        coalesce(matched.line_kind, 'merchandise') as line_kind
    from skus
    left join matched
        on
            skus.sku = matched.sku
            and matched.match_rank = 1

)

select * from final
