{% snapshot products_history %}
{{
    config(
        unique_key='product_variant_key',
        strategy='check',
        check_cols=['title', 'status', 'category', 'price', 'compare_at_price', 'cost', 'currency', 'is_deleted'],
        updated_at='_loaded_at',
        hard_deletes='invalidate',
    )
}}

with

products as (

    select * from {{ ref('stg_shop__products') }}

),

variants as (

    select
        *,
        -- a stock code that stands twice in one document: the first counts
        row_number() over (
            partition by product_id, coalesce(sku, cast(variant_position as {{ dbt.type_string() }}))
            order by variant_position asc
        ) as sku_occurrence
    from {{ ref('stg_shop__product_variants') }}

),

final as (

    select
        {{ surrogate_key(['variants.product_id', 'variants.sku', 'case when variants.sku is null then variants.variant_position end']) }}
            as product_variant_key,
        variants.product_id,
        variants.sku,
        products.title,
        products.status,
        products.primary_category as category,
        variants.price,
        variants.compare_at_price,
        variants.cost,
        variants.currency,
        products.is_deleted,
        variants._loaded_at
    from variants
    inner join products
        on variants.product_id = products.product_id
    where variants.sku_occurrence = 1

)

select * from final
{% endsnapshot %}
